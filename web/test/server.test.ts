/** The process itself: how it starts, and how it ends. */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { afterEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { listen } from './fakes.ts'
import { Hono } from 'hono'

const SERVER = fileURLToPath(new URL('../src/server.ts', import.meta.url))
const COMPLETE = {
  HOST: '127.0.0.1',
  PORT: '0',
  WEB_URL: 'http://localhost:3000',
  SSO_URL: 'http://127.0.0.1:1',
  API_URL: 'http://127.0.0.1:1',
  WEB_CLIENT_SECRET: 'client secret',
  SESSION_SECRET: 'a session secret that is long enough',
}

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

function start(env: Record<string, string>) {
  const child = spawn(process.execPath, [SERVER], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let errors = ''
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, errors }))
  const port = async () => {
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
    return Number(/listening on 127\.0\.0\.1:(\d+)/.exec(line)![1])
  }
  return { child, ended, port }
}

async function ask(port: number, path: string, agent: Agent): Promise<number | undefined> {
  const [response] = (await once(get({ port, path, agent, host: '127.0.0.1' }), 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response.statusCode
}

async function stopTime(child: ChildProcess, ended: Promise<unknown>): Promise<number> {
  const began = performance.now()
  child.kill('SIGTERM')
  await ended
  return performance.now() - began
}

test('a missing variable is one line and exit code 2', async () => {
  const { WEB_CLIENT_SECRET: _, ...env } = COMPLETE
  const { code, errors } = await start(env).ended
  assert.equal(code, 2)
  assert.equal(errors, 'web: missing environment variable WEB_CLIENT_SECRET\n')
})

test('a taken port is one line and exit code 3', async () => {
  const other = await listen(new Hono())
  try {
    const { code, errors } = await start({ ...COMPLETE, PORT: new URL(other.url).port }).ended
    assert.equal(code, 3)
    assert.match(errors, /^web: port \d+ on 127\.0\.0\.1 is taken\n$/)
  } finally {
    await other.close()
  }
})

test('SIGTERM ends it within a second while a browser keeps its connection', async () => {
  const { child, ended, port } = start(COMPLETE)
  const agent = new Agent({ keepAlive: true })
  assert.equal(await ask(await port(), '/health', agent), 200)
  const took = await stopTime(child, ended)
  assert.ok(took < 1000, `${took} ms`)
  assert.equal((await ended).code, 0)
  agent.destroy()
})

test('SIGTERM ends it within a second while a request waits for the API', async () => {
  let asked = () => {}
  const underWay = new Promise<void>((resolve) => (asked = resolve))
  const silent = await listen(new Hono().post('*', () => (asked(), new Promise<Response>(() => {}))))
  try {
    const { child, ended, port } = start({ ...COMPLETE, SSO_INTERNAL_URL: silent.url })
    const web = `http://127.0.0.1:${await port()}`
    const begin = await fetch(`${web}/auth/sign-in`, { redirect: 'manual' })
    const state = new URL(begin.headers.get('location')!).searchParams.get('state')!
    const cookie = begin.headers.getSetCookie()[0]!.split(';')[0]!
    const query = new URLSearchParams({ code: 'x', state, iss: COMPLETE.SSO_URL })
    const waiting = fetch(`${web}/auth/callback?${query}`, { headers: { cookie } }).catch(() => 'cut off')
    await underWay
    const took = await stopTime(child, ended)
    assert.ok(took < 1000, `${took} ms`)
    assert.equal(await waiting, 'cut off')
  } finally {
    await silent.close()
  }
})
