#!/usr/bin/env node
import { readConfig } from '../config.ts'
import { serve } from '../serve.ts'

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort())
await serve(readConfig(), stop.signal)
