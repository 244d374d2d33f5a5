/** (b) koa the usual way: koa-bodyparser in front of everything, @koa/router, objects as bodies. */
import Router from '@koa/router';
import Koa from 'koa';
import bodyParser from 'koa-bodyparser';
import { type CreateBody, faultOf, optionsOfProcess, UsualData } from './data.js';
import { serve } from './listen.js';

const data = new UsualData(optionsOfProcess().database);
const app = new Koa();
const router = new Router({ prefix: '/api/v2' });

router.get('/instances', (ctx) => {
  const { after, limit } = ctx.query as { after?: string; limit?: string };
  ctx.body = data.page(after ?? '', Number(limit ?? 100));
});

router.get('/instances/:id', (ctx) => {
  const found = data.one((ctx.params as { id: string }).id);
  if (found === undefined) ctx.throw(404);
  ctx.body = found;
});

router.post('/instances', (ctx) => {
  const { body } = ctx.request as { body?: unknown };
  const fault = faultOf(body);
  if (fault !== undefined) ctx.throw(400, fault);
  ctx.status = 201;
  ctx.body = data.create(body as CreateBody);
});

app.use(bodyParser());
app.use(router.routes());
app.use(router.allowedMethods());
serve(app);
