import type { Context, Hono } from 'hono'
import { requireRole } from '../authenticate.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { formatDocsPage, type Page } from '../docs-page.ts'
import type { Env } from '../env.ts'
import { type OpenApiDocument, openApiOf } from '../openapi.ts'
import { type Caller, describe, type Handler, jsonType, type Operation } from '../operation.ts'
import { plainText } from '../schema.ts'
import type { Server } from '../server.ts'

/**
 * `GET /openapi.json`, and the same for people at `/docs`: made when they are first asked for, of all routes of the app.
 * For everybody or, where that is set, for administrators.
 */
export function routeDocs(app: Hono<Env>, server: Server): void {
  let made: Made | undefined
  const make = (): Made => {
    made ??= formatAll(openApiOf(app, server.identity.origin))
    return made
  }
  const who = server.publicDocs ? 'everybody' : 'docs:read'
  const route = (path: string, operation: Omit<Operation, 'who'>, handler: Handler): void => {
    app.get(path, describe({ ...operation, who }, guarded(server, who, handler)))
  }
  if (server.publicDocs) openToBrowsers(app, '/openapi.json')
  route('/openapi.json', document, (c) => c.body(make().json, 200, { 'content-type': jsonType, ...cached }))
  route('/docs', docs, (c) => answerPage(c, make().page))
}

function guarded(server: Server, who: Caller, handler: Handler): Handler {
  if (who === 'everybody') return handler
  return async (c, type) => {
    await requireRole(server, c, who, deadlineIn(server.times.answerMs))
    return handler(c, type)
  }
}

type Made = { readonly json: string; readonly page: Page }

function formatAll(document: OpenApiDocument): Made {
  return { json: JSON.stringify(document), page: formatDocsPage(document) }
}

const cached = { 'cache-control': 'no-cache' }

function answerPage(c: Context<Env>, { html, securityPolicy }: Page): Response {
  return c.body(html, 200, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': securityPolicy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    ...cached,
  })
}

const document: Omit<Operation, 'who'> = {
  id: 'readOpenApi',
  summary: 'This document',
  answers: { 200: { doc: 'OpenAPI 3.1', content: { [jsonType]: { type: 'object' } } } },
}

const docs: Omit<Operation, 'who'> = {
  id: 'readDocs',
  summary: 'This document as a page',
  answers: {
    200: { doc: 'HTML without scripts; nothing is loaded from elsewhere', content: { 'text/html': plainText } },
  },
}
