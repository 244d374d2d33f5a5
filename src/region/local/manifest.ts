/**
 * image.json of a guest image: its schema, and the checks that make its content safe for a command line. Format 2 may
 * give the image its id, and need not have a kernel: its disk is then booted by the firmware (docs/region-local.md).
 */
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/schema';
import { Architecture, Name, Uuid } from '../../model/common.js';
import { readQcow2Size } from './qcow2.js';

const FileName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' });
const Word = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}$' });

export const ImageManifest = Type.Object(
  {
    format: Type.Optional(Type.Literal(2)),
    id: Type.Optional(Uuid),
    name: Name,
    digest: Type.String({ pattern: '^sha256:[0-9a-f]{64}$' }),
    architecture: Architecture,
    virtualSize: Type.Integer({ minimum: 1, maximum: 2 ** 46, description: 'Bytes of the root disk.' }),
    minMemoryMiB: Type.Integer({ minimum: 1, maximum: 2 ** 24 }),
    os: Type.Object(
      {
        kernel: Type.Literal('linux'),
        family: Word,
        distro: Word,
        version: Word,
        codename: Type.Optional(Word),
        variant: Type.Optional(Word),
      },
      { additionalProperties: false },
    ),
    files: Type.Object(
      { kernel: Type.Optional(FileName), initrd: Type.Optional(FileName), disk: FileName },
      { additionalProperties: false },
    ),
    append: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9=_.,:/ -]{0,512}$', description: 'Kernel command line.' }),
    ),
    created: Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?Z$' }),
  },
  { title: 'ImageManifest', additionalProperties: false },
);
export type ImageManifest = Static<typeof ImageManifest>;

/** Far above any real manifest. */
const sizeLimit = 64 << 10;

/** Reads and checks one image. Rejects with the reason if anything about it is invalid. */
export async function readManifest(folder: string): Promise<ImageManifest> {
  const path = join(folder, 'image.json');
  await mustBeFile(path, 'image.json');
  if ((await lstat(path)).size > sizeLimit) throw new Error('image.json is too large');
  const manifest: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (!Check(ImageManifest, manifest)) {
    const [, [first]] = Errors(ImageManifest, manifest);
    throw new Error(`image.json${first?.instancePath ?? ''} ${first?.message ?? 'breaks its schema'}`);
  }
  mustBeWhole(manifest);
  if (Number.isNaN(Date.parse(manifest.created))) throw new Error('image.json/created is not a valid time');
  for (const name of Object.values(manifest.files)) await mustBeFile(join(folder, name), name);
  const size = await readQcow2Size(join(folder, manifest.files.disk)).catch((cause: unknown) => {
    throw new Error(`${manifest.files.disk}: ${cause instanceof Error ? cause.message : 'unreadable'}`, {
      cause,
    });
  });
  if (size !== manifest.virtualSize) throw new Error('image.json/virtualSize does not match the disk');
  return manifest;
}

/** Kernel, initrd and kernel command line belong together; only format 2 may lack them, and have an id. */
function mustBeWhole({ format, id, files: { kernel, initrd }, append }: ImageManifest): void {
  const given = [kernel, initrd, append].filter((part) => part !== undefined).length;
  if (given !== 3 && (given !== 0 || format !== 2))
    throw new Error(
      'image.json must have files/kernel, files/initrd and append, or with format 2 none of them',
    );
  if (id !== undefined && format !== 2) throw new Error('image.json/id needs format 2');
}

/** A link could lead anywhere, a pipe would block. */
async function mustBeFile(path: string, name: string): Promise<void> {
  if (!(await lstat(path)).isFile()) throw new Error(`${name} is not a regular file`);
}
