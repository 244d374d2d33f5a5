/** Loaded on demand. In the bundle, only a module of ours keeps the names of a CommonJS package. */
export { stringify } from 'yaml';
