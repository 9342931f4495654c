import type { Context, Hono } from 'hono'
import { openToBrowsers } from '../cors.ts'
import { formatDocsPage, type Page } from '../docs-page.ts'
import type { Env } from '../env.ts'
import { type OpenApiDocument, openApiOf } from '../openapi.ts'
import { describe, jsonType, type Operation } from '../operation.ts'
import { plainText } from '../schema.ts'
import type { Server } from '../server.ts'

/** `GET /openapi.json`, and the same for people at `/docs`: made when they are first asked for, of all routes of the app. */
export function routeDocs(app: Hono<Env>, server: Server): void {
  let made: Made | undefined
  const make = (): Made => {
    made ??= formatAll(openApiOf(app, server.identity.origin))
    return made
  }
  openToBrowsers(app, '/openapi.json')
  app.get(
    '/openapi.json',
    describe(document, (c) => c.body(make().json, 200, { 'content-type': jsonType, ...cached })),
  )
  app.get(
    '/docs',
    describe(docs, (c) => answerPage(c, make().page)),
  )
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

const document: Operation = {
  id: 'readOpenApi',
  summary: 'This document',
  who: 'everybody',
  answers: { 200: { doc: 'OpenAPI 3.1', content: { [jsonType]: { type: 'object' } } } },
}

const docs: Operation = {
  id: 'readDocs',
  summary: 'This document as a page',
  who: 'everybody',
  answers: {
    200: { doc: 'HTML without scripts; nothing is loaded from elsewhere', content: { 'text/html': plainText } },
  },
}
