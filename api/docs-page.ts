import { createHash } from 'node:crypto'
import { html, raw } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { OpenApiDocument } from './openapi.ts'
import type { JsonSchema } from './schema.ts'

// The OpenAPI document as a page, written once by the server: no script, no font, nothing from elsewhere. (The usual
// viewers are megabytes of script that the process would have to hold or fetch from a CDN.)

export type Page = { readonly html: string; readonly securityPolicy: string }

type Html = HtmlEscapedString | Promise<HtmlEscapedString>

const style = `
:root { color-scheme: light dark; --ink: #1d2420; --soft: #59655e; --page: #fbfbf8; --box: #f0f1ec; --line: #d5d9d1; --accent: #1c6a45 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8e2; --soft: #9aa69e; --page: #141816; --box: #1d2320; --line: #343c37; --accent: #7cc9a0 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 0 .5rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem }
p { margin: .25rem 0 .75rem } a { color: var(--accent) }
code, pre, .path { font-family: ui-monospace, monospace; font-size: .9em }
pre { margin: .5rem 0; padding: .75rem; background: var(--box); border-radius: .4rem; overflow-x: auto; overflow-wrap: normal }
main > details { border-top: 1px solid var(--line) } main > details:last-of-type { border-bottom: 1px solid var(--line) }
summary { padding: .6rem .25rem; cursor: pointer } summary:focus-visible { outline: 2px solid var(--accent) }
details > div { padding: 0 .25rem 1rem } details details { margin: .25rem 0 } details details summary { padding: .25rem 0 }
.verb { color: var(--accent); font-weight: 700 } .soft { color: var(--soft) }
dl { margin: 0 } dt { font-family: ui-monospace, monospace; font-size: .9em; margin-top: .5rem } dd { margin: 0 0 0 1rem; color: var(--soft) }
`

const styleHash = createHash('sha256').update(style).digest('base64')
const securityPolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

export function formatDocsPage({ info, paths, components }: OpenApiDocument): Page {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => formatOperation(method, path, operation)),
  )
  const schemas = Object.entries(components.schemas).map(([name, schema]) => formatSchema(name, schema))
  const page = html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${info.title}</title>
<style>${raw(style)}</style>
<main>
<h1>${info.title}</h1>
${formatText(info.description)}
<p><a href="openapi.json">openapi.json</a> is the same for programs.</p>
<h2>Paths</h2>
${operations}
<h2>Schemas</h2>
${schemas}
</main>
</html>
`
  return { html: page.toString(), securityPolicy }
}

function formatOperation(method: string, path: string, operation: JsonSchema): Html {
  const { operationId, summary, description, requestBody, security } = operation
  const parameters = operation.parameters as readonly JsonSchema[]
  const roles = (security as readonly JsonSchema[]).flatMap((scheme) => Object.keys(scheme))
  return html`<details><summary><span class="verb">${method.toUpperCase()}</span>
<span class="path">${path}</span> <span class="soft">${summary}</span></summary><div id="${operationId}">
${formatText(description)}
<p>${roles.length === 0 ? 'For everybody.' : `Takes a token of the role ${roles.join(' or ')}.`}</p>
${parameters.length === 0 ? '' : html`<h3>Parameters</h3><dl>${parameters.map(formatParameter)}</dl>`}
${requestBody === undefined ? '' : html`<h3>Body</h3>${formatContent(contentOf(requestBody))}`}
<h3>Answers</h3>
${Object.entries(operation.responses as JsonSchema).map(([status, answer]) => formatAnswer(status, answer as JsonSchema))}
</div></details>`
}

function formatParameter({ name, in: place, required, description, schema }: JsonSchema): Html {
  return html`<dt>${name}</dt><dd>${place}${required === true ? ', required' : ''}. ${formatInline(description)}
<code>${JSON.stringify(schema)}</code></dd>`
}

/** Problems have one schema: their codes say all that is special. */
function formatAnswer(status: string, answer: JsonSchema): Html {
  const content = Object.entries(contentOf(answer))
  const isProblem = content.every(([, { schema }]) => JSON.stringify(schema).includes('#/components/schemas/Problem"'))
  const doc = html`<code>${status}</code> <span class="soft">${formatInline(answer.description)}</span>`
  if (isProblem) return html`<p>${doc} <a href="#schema-Problem">Problem</a></p>`
  return html`<details><summary>${doc}</summary>
<div>${formatContent(contentOf(answer))}</div></details>`
}

function contentOf(holder: unknown): Readonly<Record<string, { readonly schema: JsonSchema }>> {
  return (holder as { content: Readonly<Record<string, { readonly schema: JsonSchema }>> }).content
}

/** Media types that have the same schema, together. */
function formatContent(content: ReturnType<typeof contentOf>): Html[] {
  const typesBySchema = new Map<string, string[]>()
  for (const [type, { schema }] of Object.entries(content)) {
    const text = JSON.stringify(schema, undefined, 2)
    typesBySchema.set(text, [...(typesBySchema.get(text) ?? []), type])
  }
  return [...typesBySchema].map(([schema, types]) => html`<p><code>${types.join(', ')}</code></p>${formatJson(schema)}`)
}

// What a link leads to stands inside: browsers open what is closed around it, but not the closed thing itself.
function formatSchema(name: string, schema: JsonSchema): Html {
  return html`<details><summary><code>${name}</code></summary>
<div id="schema-${name}">${formatJson(JSON.stringify(schema, undefined, 2))}</div></details>`
}

/** References lead to the schema. */
function formatJson(json: string): Html {
  const parts = json.split(/"\$ref": "#\/components\/schemas\/(\w+)"/)
  const linked = parts.map((part, i) => (i % 2 === 0 ? part : html`<a href="#schema-${part}">${part}</a>`))
  return html`<pre>${linked}</pre>`
}

function formatText(text: unknown): Html | '' {
  return typeof text === 'string' ? html`<p>${formatInline(text)}</p>` : ''
}

/** What stands between backquotes is code. */
function formatInline(text: unknown): (Html | string)[] {
  return String(text)
    .split('`')
    .map((part, i) => (i % 2 === 0 ? part : html`<code>${part}</code>`))
}
