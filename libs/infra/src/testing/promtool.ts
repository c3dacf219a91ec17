import { execFile, execFileSync } from 'node:child_process';

function findPromtool(): boolean {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** For the `skip` option of tests that need promtool: false, or why they are skipped. */
export const withoutPromtool: string | false = findPromtool()
  ? false
  : 'promtool is not installed (Debian: apt-get install prometheus)';

/** What `promtool check metrics` has to say against a page of metrics; empty when it is content. */
export async function checkMetrics(page: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile('promtool', ['check', 'metrics'], (error, stdout, stderr) => {
    const said = `${stdout}${stderr}`.trim();
    if (error !== null && said === '') reject(error);
    else resolve(said);
  });
  child.stdin?.end(page);
  return promise;
}
