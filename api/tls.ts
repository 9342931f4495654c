import type { Server } from 'node:http'
import { Server as HttpsServer, type ServerOptions } from 'node:https'

/** PEM texts of certificates and key, which were checked. */
export type TlsPair = { readonly cert: string; readonly key: string }

/** How long a handshake may take: as long as headers. */
const handshakeMs = 10_000

/**
 * TLS 1.3 and 1.2, and of the latter only suites with forward secrecy and authenticated encryption (the intermediate
 * list of Mozilla's guidelines 5.7, without finite-field Diffie-Hellman). The client chooses: it knows what its
 * processor does fast.
 */
const protocol = {
  minVersion: 'TLSv1.2',
  honorCipherOrder: false,
  ciphers: [
    ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
    ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
    ...['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'],
    ...['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
  ].join(':'),
} as const

/** Options of a server beside those of HTTP. */
export function tlsOptions({ cert, key }: TlsPair, handshakeTimeout: number = handshakeMs): ServerOptions {
  return { ...protocol, cert, key, handshakeTimeout, noDelay: true, ALPNProtocols: ['http/1.1'] }
}

/** New connections get the new pair; those that are open go on. */
export function renewPair(http: Server, { cert, key }: TlsPair): void {
  if (!(http instanceof HttpsServer)) throw new TypeError('a server without TLS has no certificate')
  http.setSecureContext({ ...protocol, cert, key })
}
