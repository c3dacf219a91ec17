import { paint } from '../output.ts';

/** Says what happens, with the seconds since the start; everything that `up` prints goes through here. */
export class Reporter {
  readonly #startedMs = Date.now();
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void = (text) => process.stdout.write(text)) {
    this.#write = write;
  }

  heading(text: string): void {
    this.print(`\n${paint('bold', text)}`);
  }

  step(text: string): void {
    this.print(`${paint('dim', this.#clock())}  ${text}`);
  }

  warn(text: string): void {
    this.print(`${paint('dim', this.#clock())}  ${paint('yellow', text)}`);
  }

  print(text: string): void {
    this.#write(`${text}\n`);
  }

  #clock(): string {
    return `${((Date.now() - this.#startedMs) / 1000).toFixed(1).padStart(7)} s`;
  }
}
