// Writes the pages of docs/ that follow from tables in the code. Tests compare them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { errorsPage } = await import(join(root, 'dist', 'model', 'error-page.js'));
const { rolesPage } = await import(join(root, 'dist', 'route', 'roles-page.js'));
writeFileSync(join(root, 'docs', 'errors.md'), errorsPage());
writeFileSync(join(root, 'docs', 'roles.md'), rolesPage());
