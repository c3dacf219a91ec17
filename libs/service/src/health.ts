/** What a service needs from outside, and whether it has it. */
export interface DependencyState {
  readonly name: string;
  readonly up: boolean;
  /** What is wrong, when it is not up. */
  readonly reason?: string;
  /** RFC 3339: since when it is so. */
  readonly since: string;
}

export class Health {
  readonly #states = new Map<string, DependencyState>();
  #stopping = false;

  /** A dependency counts as down until it has said that it is up. */
  register(name: string): { up: () => void; down: (reason: string) => void } {
    const set = (up: boolean, reason?: string): void => {
      const before = this.#states.get(name);
      if (before?.up === up && before.reason === reason) return;
      const since = before?.up === up ? before.since : new Date().toISOString();
      this.#states.set(name, { name, up, since, ...(reason === undefined ? {} : { reason }) });
    };
    set(false, 'not connected yet');
    return { up: () => set(true), down: (reason) => set(false, reason) };
  }

  /** From now on the service is not ready: load balancers stop sending before it closes. */
  stop(): void {
    this.#stopping = true;
  }

  get ready(): boolean {
    return !this.#stopping && this.states().every((state) => state.up);
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  states(): DependencyState[] {
    return [...this.#states.values()];
  }
}
