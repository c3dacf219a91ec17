export { type BuiltFleet, type BuiltHost, buildFleet, buildFleetInSteps } from './build.ts';
export { readFleetDirectory } from './directory.ts';
export { type ExplainedOption, explainOption } from './explain.ts';
export { editorSchemas, optionReference } from './json-schema.ts';
export { type LoadedFleet, loadFleetFiles } from './load.ts';
export { revisionId } from './revision.ts';
