/** How a change that is complete is answered: with the resource as it is now. */
import type { Accepted } from '../data/caller.js';
import { JsonText, type ResponseData } from './pipeline/response.js';

/** 201 with the address of what was created below `collection`. */
export function createdIn(collection: string): (accepted: Accepted) => ResponseData {
  return ({ id, text = '', revision = 1 }) => ({
    result: new JsonText(text),
    metadata: { status: 201, location: `${collection}/${id}`, revision },
  });
}

/** 200. */
export function changed({ text = '', revision = 1 }: Accepted): ResponseData {
  return { result: new JsonText(text), metadata: { revision } };
}
