import type { Context, Hono } from 'hono'
import { answerBytes } from '../answer-share.ts'
import { requireRole } from '../authenticate.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { formatDocsPage } from '../docs-page.ts'
import type { Env } from '../env.ts'
import { type OpenApiDocument, openApiOf } from '../openapi.ts'
import { type Caller, describe, type Handler, jsonType, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
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
  route('/openapi.json', document, (c) =>
    answerBytes(server.openBudget, c, make().json, { 'content-type': jsonType, ...cached }),
  )
  route('/docs', docs, (c) => answerPage(server, c, make()))
}

function guarded(server: Server, who: Caller, handler: Handler): Handler {
  return async (c, type) => {
    if (who !== 'everybody') await requireRole(server, c, who, deadlineIn(server.times.answerMs))
    readQuery(c, {})
    return handler(c, type)
  }
}

/** As bytes: all answers share them. */
type Made = { readonly json: Uint8Array; readonly html: Uint8Array; readonly securityPolicy: string }

function formatAll(document: OpenApiDocument): Made {
  const { html, securityPolicy } = formatDocsPage(document)
  return { json: Buffer.from(JSON.stringify(document)), html: Buffer.from(html), securityPolicy }
}

const cached = { 'cache-control': 'no-cache' }

function answerPage({ openBudget }: Server, c: Context<Env>, { html, securityPolicy }: Made): Response {
  return answerBytes(openBudget, c, html, {
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
  query: {},
  answers: { 200: { doc: 'OpenAPI 3.1', content: { [jsonType]: { type: 'object' } } } },
}

const docs: Omit<Operation, 'who'> = {
  id: 'readDocs',
  summary: 'This document as a page',
  query: {},
  answers: {
    200: { doc: 'HTML without scripts; nothing is loaded from elsewhere', content: { 'text/html': plainText } },
  },
}
