/** Uploads of the content of images: in parts, resumed where they were cut off, and checked at the end. */
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { expect } from 'chai';
import type { Image } from '../../src/model/image.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

interface Progress {
  offset: number;
  sizeBytes: number;
}

describe('/api/v2/images/{imageID}/content', () => {
  let server: TestServer;
  let project: SeededProject;
  let operator: Person;
  let count = 0;
  const content = randomBytes(3_000_000);
  const checksum = `sha256:${createHash('sha256').update(content).digest('hex')}`;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    operator = await addPerson(server.app, 'uploader');
    project = await addProject(server.app, { name: 'uploads', members: [operator] });
  });
  after(() => server.stop());

  async function newImage(source: object = {}): Promise<string> {
    const { regionId } = server.catalog;
    const asked = { type: 'upload', format: 'raw', sizeBytes: content.length, checksum, ...source };
    const reply = await operator.api.post<Image>('/api/v2/images', {
      metadata: { name: `upload-${(count += 1)}` },
      spec: { projectId: project.id, regionId, source: asked },
    });
    expect(reply.status, reply.text).to.equal(201);
    return `/api/v2/images/${reply.body.metadata.id}`;
  }
  const send = (path: string, part: Buffer, offset: number) =>
    operator.api.call<Progress>('PATCH', `${path}/content`, {
      raw: part as never,
      headers: { 'Upload-Offset': String(offset), 'Content-Type': 'application/partial-upload' },
    });
  const imageAt = async (path: string) => (await operator.api.get<Image>(path)).body;

  it('arrives in parts, and becomes an image from which instances are made', async () => {
    const path = await newImage();
    const first = await send(path, content.subarray(0, 1_000_000), 0);
    expect([first.status, first.body], first.text).to.deep.equal([
      200,
      { offset: 1_000_000, sizeBytes: content.length },
    ]);
    expect((await imageAt(path)).status).to.deep.equal({ state: 'pending', progress: 33 });
    const state = await operator.api.get<Progress>(`${path}/content`);
    expect(state.headers.get('upload-offset')).to.equal('1000000');
    const last = await send(path, content.subarray(1_000_000), 1_000_000);
    expect(last.status, last.text).to.equal(202);
    expect(last.headers.get('upload-complete')).to.equal('?1');
    expect((await server.ended(last.headers.get('location'))).status).to.equal('succeeded');
    const image = await imageAt(path);
    expect(image.status).to.deep.equal({ state: 'ready', sizeBytes: content.length, checksum });
    const spec = { imageId: image.metadata.id, projectId: project.id };
    const instance = await server.running('of-upload', { spec }, operator.api);
    expect(instance.spec.imageId).to.equal(image.metadata.id);
  });

  it('goes on where the connection was cut', async () => {
    const path = await newImage();
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const head = [
      `PATCH ${path}/content HTTP/1.1`,
      'Host: localhost',
      `Authorization: Bearer ${operator.key}`,
      'Content-Type: application/octet-stream',
      `Content-Length: ${content.length}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    socket.write(content.subarray(0, 500_000));
    const begun = async () => (await operator.api.get<Progress>(`${path}/content`)).body.offset > 0;
    await eventually(begun);
    socket.destroy();
    // What the connection still brings moves the offset.
    const rest = await eventually(async () => {
      const { offset } = (await operator.api.get<Progress>(`${path}/content`)).body;
      expect(offset).to.be.above(0);
      const reply = await send(path, content.subarray(offset), offset);
      return reply.status === 202 ? reply : undefined;
    });
    expect((await server.ended(rest.headers.get('location'))).status).to.equal('succeeded');
  });

  it('is refused at another offset, beyond the declared size, of another type, and once it is there', async () => {
    const path = await newImage();
    const wrong = await send(path, content, 5);
    expect([wrong.status, wrong.body]).to.have.deep.property('0', 409);
    expect(wrong.text).to.include('continues at byte 0');
    const long = await send(path, Buffer.concat([content, content]), 0);
    expect(long.status, long.text).to.equal(413);
    await operator.api.refused('unsupported_media_type', 'PATCH', `${path}/content`, { body: { a: 1 } });
    await operator.api.refused('invalid_parameter', 'PATCH', `${path}/content`, {
      raw: content as never,
      headers: { 'Upload-Offset': '-1', 'Content-Type': 'application/octet-stream' },
    });
    expect((await operator.api.get<Progress>(`${path}/content`)).body.offset).to.equal(0);
    const whole = await send(path, content, 0);
    await server.ended(whole.headers.get('location'));
    expect((await send(path, content, 0)).status).to.equal(409);
  });

  it('makes the image fail if it is not what its checksum says', async () => {
    const path = await newImage({ checksum: `sha256:${'1'.repeat(64)}` });
    const { headers } = await send(path, content, 0);
    const task = await server.ended(headers.get('location'));
    expect([task.status, task.attempts.length]).to.deep.equal(['failed', 1]);
    const { status } = await imageAt(path);
    expect(status.state).to.equal('failed');
    expect(status.message).to.include('its checksum is sha256:');
    const gone = await operator.api.delete(path);
    expect((await server.ended(gone.headers.get('location'))).status).to.equal('succeeded');
  });
});
