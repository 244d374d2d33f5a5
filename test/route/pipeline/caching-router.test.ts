import { expect } from 'chai';
import { CachingRouter } from '../../../src/route/pipeline/caching-router.js';

describe('the router that remembers', () => {
  const router = new CachingRouter({ strict: true, sensitive: true });
  const answer = () => undefined;
  router.register('/things', ['GET'], answer);
  router.register('/things', ['POST'], answer);
  router.register('/things/:id', ['GET'], answer);
  const layers = (path: string, method: string) => router.match(path, method).pathAndMethod;

  it('finds a fixed path once for each method, and the same again', () => {
    const [first] = layers('/things', 'GET');
    expect(first?.methods).to.include('GET');
    expect(router.match('/things', 'GET')).to.equal(router.match('/things', 'GET'));
    expect(layers('/things', 'POST').map(({ methods }) => methods)).to.deep.equal([['POST']]);
    expect(layers('/things', 'GET')).to.deep.equal([first]);
  });

  it('remembers nothing that clients could make up', () => {
    for (const [path, method] of [
      ['/things/1', 'GET'],
      ['/things', 'BREW'],
      ['/nothing', 'GET'],
    ] as const) {
      expect(router.match(path, method)).not.to.equal(router.match(path, method));
    }
    expect(layers('/things', 'BREW')).to.deep.equal([]);
    expect(router.match('/things', 'BREW').path).to.have.length(2);
  });
});
