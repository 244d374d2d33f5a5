/** The last `count` lines of a text. A last line without a newline (a prompt) counts as one. */
export function lastLines(text: string, count: number): string {
  if (count <= 0) return '';
  let start = text.endsWith('\n') ? text.length - 1 : text.length;
  for (let found = 0; found < count; found += 1) {
    if (start === 0) return text;
    start = text.lastIndexOf('\n', start - 1);
    if (start === -1) return text;
  }
  return text.slice(start + 1);
}
