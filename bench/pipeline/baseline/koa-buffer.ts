/** (c) koa sending a ready buffer: the least that koa can do for a response of this size. Without router and store. */
import Koa from 'koa';
import { optionsOfProcess, UsualData } from './data.js';
import { serve } from './listen.js';

const data = new UsualData(optionsOfProcess().database);
const page = data.page('', 100);
const pageBuffer = Buffer.from(JSON.stringify(page));
const oneBuffer = Buffer.from(JSON.stringify(page[0]));

const app = new Koa();
app.use((ctx) => {
  if (ctx.method === 'POST') ctx.status = 201;
  ctx.body = ctx.method === 'GET' && ctx.path === '/api/v2/instances' ? pageBuffer : oneBuffer;
  ctx.type = 'application/json; charset=utf-8';
});
serve(app);
