/** (d) fastify the usual way: objects returned from handlers, its own serialisation, a body schema for POST. */
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { announce, type CreateBody, namePattern, optionsOfProcess, UsualData } from './data.js';

const data = new UsualData(optionsOfProcess().database);
const app = fastify();
const uuid = { type: 'string', format: 'uuid' };

const createSchema = {
  type: 'object',
  required: ['metadata', 'spec'],
  additionalProperties: false,
  properties: {
    metadata: {
      type: 'object',
      required: ['name'],
      additionalProperties: false,
      properties: {
        name: { type: 'string', pattern: namePattern },
        description: { type: 'string', maxLength: 1024 },
      },
    },
    spec: {
      type: 'object',
      required: ['projectId', 'regionId', 'flavorId', 'imageId'],
      additionalProperties: false,
      properties: { projectId: uuid, regionId: uuid, flavorId: uuid, imageId: uuid },
    },
  },
};

app.get<{ Querystring: { after?: string; limit?: string } }>('/api/v2/instances', (request, reply) => {
  const { after, limit } = request.query;
  return reply.send(data.page(after ?? '', Number(limit ?? 100)));
});

app.get<{ Params: { id: string } }>('/api/v2/instances/:id', (request, reply) => {
  const found = data.one(request.params.id);
  return found === undefined ? reply.code(404).send({ message: 'not found' }) : reply.send(found);
});

app.post<{ Body: CreateBody }>('/api/v2/instances', { schema: { body: createSchema } }, (request, reply) =>
  reply.code(201).send(data.create(request.body)),
);

await app.listen({ port: 0, host: '127.0.0.1' });
announce((app.server.address() as AddressInfo).port);
