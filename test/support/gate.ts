/** fetch for the gate of a worker's regions, which is not the API and has no document to hold its answers against. */

export async function askGate(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, init);
  if (response.headers.has('x-request-id'))
    throw new Error(`${url} is the API, whose answers must be checked: use checkedFetch or Api`);
  return response;
}
