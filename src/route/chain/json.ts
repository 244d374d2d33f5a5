/** Throws for what JSON cannot hold, before anything is sent. */
export function jsonOf(data: unknown): string {
  const text = JSON.stringify(data) as string | undefined;
  if (text === undefined) throw new Error(`A ${typeof data} cannot be written as JSON.`);
  return text;
}
