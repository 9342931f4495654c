/** An object store that speaks as much of S3 as a cell needs; what it does with conditions is the test's choice. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ObjectPlace } from '../../src/log/object-cell.ts'

export type ObjectStore = {
  readonly place: ObjectPlace
  readonly objects: ReadonlyMap<string, string>
  /** Called when a PUT was done, before it is answered: what it throws is a lost answer. */
  onPut: (key: string) => void
  readonly close: () => Promise<void>
}

/** Starts it. One that `ignores` conditions overwrites whatever is there. */
export async function startObjectStore(ignores: readonly ('if-match' | 'if-none-match')[] = []): Promise<ObjectStore> {
  const objects = new Map<string, string>()
  const server = createServer((request, response) => {
    answer(request, response).catch(() => request.socket.destroy())
  })
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const key = (request.url ?? '').split('?')[0] ?? ''
    const found = objects.get(key)
    const chunks = await request.toArray()
    const refuse = (status: number, code: string): unknown =>
      response.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`)
    if (request.method === 'DELETE') {
      objects.delete(key)
      return void response.writeHead(204).end()
    }
    if (request.method === 'GET') {
      if (found === undefined) return void refuse(404, 'NoSuchKey')
      return void response.writeHead(200, { etag: etagOf(found) }).end(found)
    }
    const { 'if-match': match, 'if-none-match': none } = request.headers
    const hasMoved = match !== undefined && !ignores.includes('if-match') && match !== (found && etagOf(found))
    const isThere = none === '*' && !ignores.includes('if-none-match') && found !== undefined
    if (hasMoved || isThere) return void refuse(412, 'PreconditionFailed')
    const text = Buffer.concat(chunks).toString()
    objects.set(key, text)
    store.onPut(key)
    response.writeHead(200, { etag: etagOf(text) }).end()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const store: ObjectStore = {
    place: {
      ...{ bucket: 'cells', key: 'logs/test.json', endpoint, region: undefined },
      ...{ accessKeyId: 'test', secretAccessKey: 'a secret' },
    },
    objects,
    onPut: () => {},
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return store
}

function etagOf(text: string): string {
  return `"${createHash('md5').update(text).digest('hex')}"`
}
