/** Every route of an API, checked against each other before the first request. */
import type { MethodType, RouteManager } from './route-manager.js';
import { pathOf, RegistrationError } from './route-manager.js';

function pattern(path: string): RegExp {
  const literal = path.split(/\{[^}]+\}/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literal.join('[^/]+')}$`);
}

/** A path that the pattern matches, with text in place of its parameters that no literal segment has. */
function sample(path: string): string {
  return path.replaceAll(/\{[^}]+\}/g, '~');
}

/**
 * Throws RegistrationError when a route can never be reached, because an earlier one takes its requests: the same path
 * and method again, or a literal path behind a pattern that matches it.
 */
export function checkRoutes<C>(managers: readonly RouteManager<C>[]): void {
  const earlier: { path: string; pattern: RegExp; methods: Set<MethodType> }[] = [];
  for (const manager of managers) {
    const path = pathOf(manager);
    for (const { methodType } of manager.methods) {
      const shadow = earlier.find(
        (known) => known.methods.has(methodType) && known.pattern.test(sample(path)),
      );
      if (shadow !== undefined) {
        throw new RegistrationError(
          `${methodType} ${path}: is never reached, because ${shadow.path} stands before it`,
        );
      }
    }
    earlier.push({
      path,
      pattern: pattern(path),
      methods: new Set(manager.methods.map((method) => method.methodType)),
    });
  }
}
