import { expect } from 'chai';
import { orderText } from '../../../../src/data/store/mongo/documents.js';
import { countedBy, pageOf } from '../../../../src/data/store/mongo/queries.js';
import type { CollectionSpec, PageQuery } from '../../../../src/data/store/port.js';
import { things } from '../../../contract/store/bench.js';

describe('a page on MongoDB', () => {
  const collection: CollectionSpec<never> = things;
  const filterOf = (query: Partial<PageQuery>) =>
    pageOf(collection, { order: 'rank', limit: 1, ...query }).filter;

  it('of a span that its order begins with is a range of the index of the order', () => {
    const span = { column: 'rank', from: 1.5, before: 4 };
    const bounds = { $gte: orderText([2], ''), $lt: orderText([4], '') };
    expect(filterOf({ span })).to.deep.include({ o_rank: bounds });
    expect(filterOf({ span: { column: 'rank', from: 2 } })).to.deep.include({
      o_rank: { $gte: bounds.$gte },
    });
    const group = { column: 'group_id', before: 'b' };
    expect(filterOf({ span: group, order: 'group' })).to.deep.include({
      o_group: { $lt: orderText(['b'], '') },
    });
  });

  it('of a span has the range of its position beside that of the span', () => {
    const span = { column: 'rank', before: 4 };
    const { $and } = filterOf({ span, after: [9, 'z'], descending: true });
    expect(JSON.stringify($and)).to.include(JSON.stringify({ o_rank: { $lt: orderText([9], 'z') } }));
    expect(JSON.stringify($and)).to.include(JSON.stringify({ $lt: orderText([4], '') }));
  });

  it('whose rows are only counted has the range of an order that begins with the column', () => {
    const span = { column: 'rank', from: 1 };
    expect(countedBy(collection, { span })).to.deep.include({ o_rank: { $gte: orderText([1], '') } });
    expect(countedBy(collection, { span: { column: 'name', from: 'a' } })).to.have.keys('c_name');
    expect(countedBy(collection, {})).to.have.keys('revision');
  });

  it('asks for a revision only where nothing else keeps places of removed documents out', () => {
    expect(filterOf({ filter: { group_id: 'g' } })).to.deep.equal({ c_group_id: 'g' });
    expect(filterOf({ filter: { group_id: ['g', 'h'] } })).to.deep.equal({ c_group_id: { $in: ['g', 'h'] } });
    expect(filterOf({ has: { tags: ['t'] } })).to.deep.equal({ c_tags: { $all: ['t'] } });
    for (const query of [
      {},
      { filter: { group_id: null } },
      { filter: { id: 'a' } },
      { has: { tags: [] } },
      { span: { column: 'id', from: 'a' } },
    ])
      expect(filterOf(query)).to.deep.include({ revision: { $gte: 1 } });
  });

  it('takes no object for a value, which would be an operator', () => {
    for (const value of [{ $gt: '' }, /./, undefined, [{ $gt: '' }]])
      expect(() => filterOf({ filter: { group_id: value as never } })).to.throw(
        'not a string, a number or null',
      );
  });

  it('of a span of another column is only filtered', () => {
    expect(filterOf({ span: { column: 'rank', from: 1 }, order: 'group' })).not.to.have.property('o_group');
    expect(filterOf({ span: { column: 'rank', from: Infinity } })).not.to.have.property('o_rank');
  });
});
