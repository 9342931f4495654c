// A client that does nothing wrong: four loops that log an event and wait until it is durable, four that ask for proofs;
// or, as `batches`, two that log 1,000 events at a time.
// Prints how many answers it had, every 100 ms. Plain JavaScript: it is a process of its own, next to the attackers, and
// Node 20 runs nothing else.
import { Agent, request } from 'node:http'

const [url = '', kind, token = ''] = [process.argv[2], process.argv[3], process.env.TOKEN]
const agent = new Agent({ keepAlive: true })
const event = JSON.stringify({ actorId: 'normal', action: 'document.read', resource: 'document/1', payload: { n: 1 } })
let answers = 0
let failures = 0

function ask(method, path, headers, body) {
  return new Promise((resolve) => {
    const asking = request(`${url}${path}`, { method, agent, headers }, (response) => {
      if (response.statusCode >= 300) failures++
      else answers++
      response.resume().on('end', resolve)
    })
    asking.on('error', () => {
      failures++
      setTimeout(resolve, 20)
    })
    asking.end(body)
  })
}

async function submitBatches() {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' }
  const batch = `${event.padEnd(225, ' ')}\n`.repeat(1_000)
  for (;;) await ask('POST', '/v1/entries', headers, batch)
}

async function submit() {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  for (;;) await ask('POST', '/v1/entries?wait=integrated', headers, event)
}

async function prove() {
  for (let i = 0; ; i = (i + 7) % 300) await ask('GET', `/v1/proofs/inclusion?index=${i}&size=300`, {})
}

for (let i = 0; i < 2 && kind === 'batches'; i++) submitBatches()
for (let i = 0; i < 4 && kind !== 'batches'; i++) {
  submit()
  prove()
}
setInterval(() => console.log(`${answers} ${failures}`), 100)
