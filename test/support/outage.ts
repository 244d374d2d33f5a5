/** A store that is unreachable for a while. It is the real store: only the access to it is cut. */
import type { Store } from '../../src/data/store/port.js';
import { ApiError } from '../../src/model/error.js';

export interface FaultyStore {
  store: Store;
  /** Whether calls fail. `late`: only writes, which are done but reported as failed. */
  fault: 'none' | 'away' | 'late';
  /** Calls that came through, by name. */
  calls: Map<string, number>;
  /** Number of calls that did not come through. */
  refused: number;
}

const away = () => new ApiError('store_unavailable', 'The database cannot be reached.');

/** The store with access that can be cut. */
export function faulty(store: Store): FaultyStore {
  const state: FaultyStore = { store, fault: 'none', calls: new Map(), refused: 0 };
  state.store = new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const call = (...args: unknown[]) =>
        (member as (...all: unknown[]) => unknown).apply(target, args) as Promise<unknown>;
      if (name === 'watch' || name === 'epoch') return call;
      return async (...args: unknown[]) => {
        const { fault } = state;
        if (fault === 'away') {
          state.refused += 1;
          throw away();
        }
        const result: unknown = await call(...args);
        state.calls.set(String(name), (state.calls.get(String(name)) ?? 0) + 1);
        if (fault === 'late' && name === 'write') throw away();
        return result;
      };
    },
  });
  return state;
}

/** Makes one method of a running server's store fail until the returned function is called. */
export function cut(store: Store, method: 'get' | 'write' | 'text' | 'lastChange'): () => void {
  Reflect.set(store, method, () => Promise.reject(away()));
  return () => {
    Reflect.deleteProperty(store, method);
  };
}
