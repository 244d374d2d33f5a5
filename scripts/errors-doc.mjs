// Writes docs/errors.md from the table of codes. A test compares the two.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { errorsPage } = await import(join(root, 'dist', 'model', 'error-page.js'));
writeFileSync(join(root, 'docs', 'errors.md'), errorsPage());
