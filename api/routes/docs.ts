import type { Context, Hono } from 'hono'
import { answerBytes } from '../answer-share.ts'
import { openToBrowsers } from '../cors.ts'
import { formatDocsPage } from '../docs-page.ts'
import type { Env } from '../env.ts'
import { type OpenApiDocument, openApiOf } from '../openapi.ts'
import { describe, jsonType, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
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
    describe(document, (c) => {
      readQuery(c, {})
      return answerBytes(server.openBudget, c, make().json, { 'content-type': jsonType, ...cached })
    }),
  )
  app.get(
    '/docs',
    describe(docs, (c) => {
      readQuery(c, {})
      return answerPage(server, c, make())
    }),
  )
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

const document: Operation = {
  id: 'readOpenApi',
  summary: 'This document',
  who: 'everybody',
  query: {},
  answers: { 200: { doc: 'OpenAPI 3.1', content: { [jsonType]: { type: 'object' } } } },
}

const docs: Operation = {
  id: 'readDocs',
  summary: 'This document as a page',
  who: 'everybody',
  query: {},
  answers: {
    200: { doc: 'HTML without scripts; nothing is loaded from elsewhere', content: { 'text/html': plainText } },
  },
}
