/** Every route of an API, checked by itself and against the others before the first request. */
import type { Authenticator } from './authenticator.js';
import { faultOf } from './deprecation.js';
import type { Declaration, RequestHandler } from './handler.js';
import {
  type MethodHandler,
  methodTypes,
  pathOf,
  RegistrationError,
  type RouteManager,
} from './route-manager.js';
import { assertSchema } from './validation.js';

/**
 * Segments of plain characters, and parameters that are one segment each: no schema would check what else the router
 * supports.
 */
const routePattern = /^(\/[A-Za-z0-9._~-]+|\/\{[A-Za-z_]+\})+$/;

/** Throws RegistrationError for every mistake in a route that would otherwise only show at a request. */
export function checkRoutes<C>(managers: readonly RouteManager<C>[]): void {
  const operationIds = new Set<string>();
  for (const [index, manager] of managers.entries()) {
    checkPath(manager);
    checkMethods(manager);
    checkReachable(manager, managers.slice(0, index));
    for (const method of manager.methods) {
      const { operationId } = method.requestHandler.declaration;
      if (operationIds.has(operationId)) {
        const where = `${method.methodType} ${pathOf(manager)}`;
        throw new RegistrationError(`${where}: the operation id "${operationId}" is taken`);
      }
      operationIds.add(operationId);
    }
  }
}

/** Throws RegistrationError if a schema of the routes cannot be compiled, which would otherwise show at a request. */
export function checkSchemas<C>(managers: readonly RouteManager<C>[]): void {
  for (const manager of managers) {
    for (const { methodType, requestHandler } of manager.methods)
      assertSchemas(requestHandler.declaration, `${methodType} ${pathOf(manager)}`);
  }
}

function assertSchemas({ params, query, body, responses }: Declaration, where: string): void {
  const answers = Object.values(responses).map(({ schema }) => schema);
  try {
    for (const schema of [params, query, body, ...answers]) if (schema !== undefined) assertSchema(schema);
  } catch (cause) {
    throw new RegistrationError(`${where}: a schema cannot be compiled: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function checkPath<C>(manager: RouteManager<C>): void {
  const { route, version, deprecation, methods } = manager;
  const path = pathOf(manager);
  if (!routePattern.test(route) || /\/\.\.?(\/|$)/.test(route)) {
    throw new RegistrationError(
      `${path}: the route "${route}" must consist of segments such as /things and /{id}: letters, digits and ".", "_", "~", "-"; a parameter's name has letters and "_" only`,
    );
  }
  if (version !== undefined && !(Number.isSafeInteger(version) && version > 0))
    throw new RegistrationError(`${path}: the version ${version} is not a positive integer`);
  const fault = deprecation === undefined ? undefined : faultOf(deprecation);
  if (fault !== undefined) throw new RegistrationError(`${path}: ${fault}`);
  if (methods.length === 0) throw new RegistrationError(`${path}: has no methods`);
}

function checkMethods<C>(manager: RouteManager<C>): void {
  const path = pathOf(manager);
  const seen = new Set<string>();
  for (const method of manager.methods) {
    const fault = seen.has(method.methodType) ? 'is declared twice' : faultOfMethod(method, path);
    if (fault !== undefined) throw new RegistrationError(`${method.methodType} ${path}: ${fault}`);
    seen.add(method.methodType);
  }
}

function faultOfMethod<C>(method: MethodHandler<C>, path: string): string | undefined {
  if (!methodTypes.includes(method.methodType)) return `the method is not one of ${methodTypes.join(', ')}`;
  // The types forbid it, but a route may be assembled at run time.
  if ((method.authenticator as Authenticator | undefined) === undefined)
    return 'has no authenticator; use NoAuth if everyone may pass';
  const handler = method.requestHandler as Partial<RequestHandler<C>> | undefined;
  if (handler?.declaration === undefined) return 'has no requestHandler with a declaration';
  const { declaration } = handler;
  if (declaration.cacheable === true && method.methodType !== 'GET')
    return 'only the response to a GET can be cacheable';
  if (Object.keys(declaration.responses).length === 0) return 'declares no response';
  return faultOfParams(path, declaration);
}

function faultOfParams(path: string, { params }: Declaration): string | undefined {
  const declared = Object.keys(params?.properties ?? {}).sort();
  const inPath = [...path.matchAll(/\{([A-Za-z_]+)\}/g)].map((match) => match[1] ?? '').sort();
  return declared.join() === inPath.join()
    ? undefined
    : `the path has parameters [${inPath.join()}], the declaration [${declared.join()}]`;
}

/** A route is never reached if an earlier one takes its requests: the same path, or a pattern that matches it. */
function checkReachable<C>(manager: RouteManager<C>, earlier: readonly RouteManager<C>[]): void {
  const path = pathOf(manager);
  for (const { methodType } of manager.methods) {
    const shadow = earlier.find(
      (known) =>
        known.methods.some((method) => method.methodType === methodType) &&
        patternOf(pathOf(known)).test(sample(path)),
    );
    if (shadow !== undefined) {
      throw new RegistrationError(
        `${methodType} ${path}: is never reached, because ${pathOf(shadow)} comes before it`,
      );
    }
  }
}

function patternOf(path: string): RegExp {
  const literal = path.split(/\{[^}]+\}/).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literal.join('[^/]+')}$`);
}

/** A path that the pattern matches, with texts for its parameters that no literal segment has. */
function sample(path: string): string {
  return path.replaceAll(/\{[^}]+\}/g, '~');
}
