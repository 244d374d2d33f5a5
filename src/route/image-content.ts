/**
 * The content of an image that is uploaded, in as many requests as it takes. Model: the IETF's draft on resumable
 * uploads (draft-ietf-httpbis-resumable-upload): PATCH appends, HEAD tells where to continue.
 */
import { Type } from 'typebox';
import type { Upload } from '../data/image-upload.js';
import { taskAddress } from '../data/task.js';
import { ApiError } from '../model/error.js';
import { callerOf } from './caller.js';
import type { ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';
import { imageParams } from './stored-image.js';

const ImageUpload = Type.Object(
  {
    offset: Type.Integer({
      minimum: 0,
      description: 'Bytes that have arrived; the next request continues there.',
    }),
    sizeBytes: Type.Integer({ minimum: 1, description: 'Bytes that there will be.' }),
  },
  { title: 'ImageUpload', additionalProperties: false },
);

const uploadHeaders = ['Upload-Offset', 'Upload-Complete'] as const;

function answerTo({ offset, sizeBytes, taskId }: Upload): ResponseData {
  const headers = {
    'Upload-Offset': String(offset),
    'Upload-Complete': offset === sizeBytes ? '?1' : '?0',
  };
  if (taskId === undefined)
    return { result: { offset, sizeBytes }, metadata: { headers, cacheControl: 'no-store' } };
  return { metadata: { status: 202, location: taskAddress(taskId), retryAfter: 1, headers } };
}

/** GET /api/v2/images/{imageID}/content */
export const getImageContent = defineHandler(
  {
    operationId: 'getImageContent',
    summary: 'How much of the content of an image has arrived',
    tags: ['images'],
    params: imageParams,
    responses: { 200: { description: 'Where to continue.', schema: ImageUpload, headers: uploadHeaders } },
    errors: ['conflict', 'not_implemented', 'unavailable'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.imageID }),
    execute: async (connector, { caller, id }) => answerTo(await connector.imageUploads.state(caller, id)),
  },
);

/** PATCH /api/v2/images/{imageID}/content */
export const appendImageContent = defineHandler(
  {
    operationId: 'appendImageContent',
    summary: 'Send the content of an image, or the next part of it',
    description:
      'The body is appended at `Upload-Offset`, which must be the number of bytes that have arrived (a 409 tells it). What has arrived when a connection is cut is kept. Once all bytes are there, a task checks them.',
    tags: ['images'],
    params: imageParams,
    headers: Type.Object({
      'Upload-Offset': Type.Optional(
        Type.Integer({ minimum: 0, description: 'Where the body continues. Default: 0.', examples: [0] }),
      ),
    }),
    content: true,
    responses: {
      200: { description: 'The part has arrived.', schema: ImageUpload, headers: uploadHeaders },
      202: {
        description: 'All of it has arrived; a task checks it. Follow `Location`.',
        headers: ['Location', 'Retry-After', ...uploadHeaders],
      },
    },
    errors: [
      'invalid_parameter',
      'conflict',
      'too_large',
      'unsupported_media_type',
      'not_implemented',
      'unavailable',
    ],
  },
  {
    parse: ({ params, headers, content, context }) => ({
      caller: callerOf(context),
      id: params.imageID,
      offset: offsetIn(headers['upload-offset']),
      length: Number(headers['content-length'] ?? 0),
      content,
    }),
    execute: async (connector, { caller, id, offset, length, content }) =>
      answerTo(await connector.imageUploads.append(caller, id, { offset, length }, content)),
  },
);

function offsetIn(value: string | string[] | undefined): number {
  if (value === undefined) return 0;
  if (typeof value === 'string' && /^(0|[1-9]\d{0,14})$/.test(value)) return Number(value);
  const message = 'Send Upload-Offset: the number of bytes that have arrived, 0 at first.';
  throw new ApiError('invalid_parameter', message, { errors: [{ parameter: 'Upload-Offset', message }] });
}
