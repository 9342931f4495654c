// What `--help` prints of `tokens`, all of it and each of its words.

const makeOptions = `    --role ROLE       writer, auditor or admin
    --scope SCOPE     only this part of the role; may be given more than once (writer: entries:submit, bytes:add;
                      auditor: entries:read, entries:search, entries:stream, incidents:read; admin: tokens:read,
                      tokens:manage, incidents:read, incidents:manage, metrics:read, docs:read)
    --expires TIME    RFC 3339, like 2027-01-31T00:00:00Z (default: never)
    --requests N      requests a second that one server takes of it, 0 for no limit (default: the server's setting)
    --entries N       entries a second, likewise
    --out FILE        writes the secret to a new file of mode 0600 instead
    --local           asks no server: makes a token of the role admin with the keys of the data folder and the database
                      of the settings, which are those of \`serve\`; for when no administrator's secret is left. The
                      server may run; the log tells of it as of any other`

const make = `  make NAME           makes a token and prints its secret, which nobody can see again; NAME is what entries and acts
                      say of its holder, token:NAME, and a writer's is never given to another token
${makeOptions}`

const list = `  list                those that hold, with their rates; --all shows expired and revoked ones too`

const revoke = `  revoke ID|NAME      for ever; servers refuse it within 5 s`

const expire = `  expire ID|NAME --at TIME
                      RFC 3339, a time to come, sooner or later than it was; what has expired stays so, and a token
                      that has a time cannot go back to never: make another one`

const server = `  --url URL           the server (default: the one of the settings here: PORT, and https with DENDROLOG_TLS_CERT)
  --ca FILE           PEM certificate of the CA of an https server, where the system does not know it
  --token-file FILE   a file with the token of an administrator, or a tokens.json (default: that of the data folder)`

const exits = `Exit status: 0 done, 2 not done: the server refused it (no such token, name taken, the last administrator: with --json
there is a code) or could not be asked.`

/** All words. */
export const tokensHelp: string = `Asks a running server, as an administrator.

${[make, list, revoke, expire].join('\n')}

${server}
  --json              make: {"token", "secret"}, without the secret where it went to a file; list: {"tokens"};
                      others: {"token"}; refused: {"error", "code"}

${exits}`

type Page = { readonly synopsis: string; readonly help: string }

/** Each word. */
export const tokenPages: Readonly<Record<string, Page>> = {
  make: page(
    'NAME --role ROLE [--local] [OPTIONS]',
    make,
    '{"token", "secret"}, without the secret where it went to a file',
  ),
  list: page('[--all] [OPTIONS]', list, '{"tokens"}'),
  revoke: page('ID|NAME [OPTIONS]', revoke, '{"token"}'),
  expire: page('ID|NAME --at TIME [OPTIONS]', expire, '{"token"}'),
}

function page(synopsis: string, words: string, answer: string): Page {
  const json = `  --json              ${answer}; refused: {"error", "code"}`
  return { synopsis, help: `Asks a running server, as an administrator.\n\n${words}\n\n${server}\n${json}\n\n${exits}` }
}
