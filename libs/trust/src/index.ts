export { canonicalBytes } from './canonical.ts';
export { type ReleaseContent, releaseId, type SigningTerms, signRelease, statementsWithProofs } from './release.ts';
export { type Verdict, verifyRelease, verifySignedStatement } from './verify.ts';
