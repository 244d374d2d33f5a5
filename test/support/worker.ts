/** fetch for a worker, which is not the API and has no document to check its responses against. */

export async function askWorker(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, init);
  // A worker closes the connection after each response.
  if (response.headers.get('connection') !== 'close')
    throw new Error(`${url} is the API, whose answers must be checked: use checkedFetch or Api`);
  return response;
}
