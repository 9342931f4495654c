/** An HTTP server between a client and a real one, or in place of it, that lies, cuts and drips as a test wants it. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Asked = {
  readonly method: string
  /** With the query, without the host. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type Said = {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/**
 * `cut`: the connection ends without an answer. `endless`: an answer of zeros without end. `silent`: nothing at all.
 * `stalled`: the beginning of an answer, and then nothing.
 */
export type Reaction = Said | 'cut' | 'endless' | 'silent' | 'stalled'

/** `forward` asks the server behind, the body replaced where one is given. */
export type React = (asked: Asked, forward: (body?: string) => Promise<Said>) => Promise<Reaction> | Reaction

export type HostileServer = {
  readonly url: string
  /** All that was asked, in order. */
  readonly asked: readonly Asked[]
  readonly close: () => Promise<void>
}

export async function openHostileServer(behind: string, react: React): Promise<HostileServer> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    void handle(request, response, behind, (one, forward) => {
      asked.push(one)
      return react(one, forward)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { url: `http://127.0.0.1:${port}`, asked, close }
}

/** The answer with other JSON. */
export function withJson(said: Said, change: (json: Record<string, unknown>) => unknown): Said {
  const json = JSON.parse(Buffer.from(said.body as Uint8Array).toString('utf8')) as Record<string, unknown>
  return { ...said, body: JSON.stringify(change(json)) }
}

async function handle(request: IncomingMessage, response: ServerResponse, behind: string, react: React): Promise<void> {
  const asked = await readAsked(request)
  const reaction = await react(asked, (body) => forward(behind, asked, body))
  if (reaction === 'silent') return
  if (reaction === 'cut') request.socket.destroy()
  else if (reaction === 'endless') drip(response)
  else if (reaction === 'stalled') response.writeHead(200).write('{')
  else response.writeHead(reaction.status, reaction.headers).end(reaction.body)
}

async function readAsked(request: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { method = '', url = '', headers } = request
  return { method, path: url, headers: headers as Record<string, string>, body: Buffer.concat(chunks) }
}

async function forward(behind: string, { method, path, headers, body }: Asked, other?: string): Promise<Said> {
  const names = ['authorization', 'content-type'].filter((name) => headers[name] !== undefined)
  const kept = Object.fromEntries(names.map((name) => [name, headers[name] as string]))
  const init = method === 'POST' ? { method, headers: kept, body: other ?? new Uint8Array(body) } : { headers: kept }
  const answer = await fetch(`${behind}${path}`, init)
  const retryAfter = answer.headers.get('retry-after')
  return {
    status: answer.status,
    headers: retryAfter === null ? {} : { 'retry-after': retryAfter },
    body: new Uint8Array(await answer.arrayBuffer()),
  }
}

function drip(response: ServerResponse): void {
  const zeros = Buffer.alloc(65_536)
  response.writeHead(200)
  const write = (): void => {
    while (!response.destroyed && response.write(zeros)) {}
  }
  response.on('drain', write)
  response.on('close', () => response.off('drain', write))
  write()
}
