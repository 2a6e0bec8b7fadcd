import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSettings } from '../src/settings.ts'

const COMPLETE = {
  WEB_URL: 'http://localhost:3000',
  SSO_URL: 'http://localhost:3001',
  API_URL: 'http://localhost:8000',
  WEB_CLIENT_SECRET: 'client secret',
  SESSION_SECRET: 'x'.repeat(32),
}

test('the internal addresses, host and port have defaults', () => {
  const settings = readSettings(COMPLETE)
  assert.equal(settings.ssoInternalUrl, 'http://localhost:3001')
  assert.equal(settings.apiInternalUrl, 'http://localhost:8000')
  assert.equal(settings.host, '127.0.0.1')
  assert.equal(settings.port, 3000)
})

test('an empty variable counts as missing, and all that miss are named at once', () => {
  assert.throws(() => readSettings({ ...COMPLETE, SSO_URL: '', SESSION_SECRET: undefined }), {
    message: 'missing environment variables SSO_URL, SESSION_SECRET',
  })
})

test('a trailing slash is taken off', () => {
  assert.equal(readSettings({ ...COMPLETE, SSO_URL: 'http://localhost:3001/' }).ssoUrl, 'http://localhost:3001')
})

for (const [name, value, message] of [
  ['SSO_URL', 'localhost:3001', 'SSO_URL is not an http(s) URL: localhost:3001'],
  ['API_INTERNAL_URL', 'javascript:alert(1)', 'API_INTERNAL_URL is not an http(s) URL: javascript:alert(1)'],
  ['WEB_URL', 'http://localhost:3000/app', 'WEB_URL has a path: http://localhost:3000/app'],
  ['PORT', 'http', 'PORT is not a port: http'],
  ['SESSION_SECRET', 'hunter2', 'SESSION_SECRET has 7 characters, needs at least 32'],
] as const) {
  test(`${name}=${value} is refused`, () => {
    assert.throws(() => readSettings({ ...COMPLETE, [name]: value }), { message })
  })
}

for (const value of ['postgresql://api:hunter2@db:5432/taskflow', 'http://user:hunter2@localhost:3000/app']) {
  for (const name of ['WEB_URL', 'SSO_URL', 'API_INTERNAL_URL']) {
    test(`${name}=${value} is refused without its password`, () => {
      assert.throws(() => readSettings({ ...COMPLETE, [name]: value }), {
        message: `${name} has a user or password in it, expected http(s)://HOST[:PORT]`,
      })
    })
  }
}
