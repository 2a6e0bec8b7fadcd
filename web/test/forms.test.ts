import assert from 'node:assert/strict'
import { test } from 'node:test'
import { useStack } from './stack.ts'

const stack = useStack()

test('a form with a wrong or missing token changes nothing', async () => {
  await stack.browser.signIn()
  for (const form of [{ title: 'x' }, { title: 'x', csrf: '' }, { title: 'x', csrf: 'x'.repeat(43) }]) {
    const response = await stack.browser.post('/tasks', form as Record<string, string>)
    assert.equal(response.status, 403)
    assert.match(await response.text(), /This form is out of date/)
  }
  assert.equal(stack.api.tasks.length, 0)
})

test('a form of another site changes nothing, even with the right token', async () => {
  await stack.browser.signIn()
  const csrf = await stack.browser.csrf()
  for (const headers of [
    { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' },
    // Another port of this host: the same site to a browser, and it gets the cookie, but it is not us.
    { origin: 'http://localhost:3001', 'sec-fetch-site': 'same-site' },
    { origin: 'null', 'sec-fetch-site': '' },
  ]) {
    assert.equal((await stack.browser.post('/tasks', { title: 'x', csrf }, headers)).status, 403)
  }
  assert.equal(stack.api.tasks.length, 0)
})

test('another content type is no way around the token', async () => {
  await stack.browser.signIn()
  const response = await stack.browser.post('/tasks', { title: 'x' }, { 'content-type': 'application/json', origin: 'http://evil.example' })
  assert.equal(response.status, 403)
  assert.equal(stack.api.tasks.length, 0)
})

test('signing out needs the token too', async () => {
  await stack.browser.signIn()
  assert.equal((await stack.browser.post('/auth/sign-out', {})).status, 403)
  assert.ok(stack.browser.cookies.has('taskflow_web_session'))
})

test('each sign-in has a token of its own', async () => {
  await stack.browser.signIn()
  const first = await stack.browser.csrf()
  await stack.browser.signIn()
  assert.notEqual(await stack.browser.csrf(), first)
})

test('a form above 64 KiB is refused', async () => {
  await stack.browser.signIn()
  assert.equal((await stack.browser.submit('/tasks', { title: 'x'.repeat(70_000) })).status, 413)
})

test('creating a task stores it, redirects, and says so once', async () => {
  await stack.browser.signIn()
  const response = await stack.browser.submit('/tasks', { title: '  Buy milk ', project: '', assignee: '' })
  assert.equal(response.status, 303)
  assert.equal(response.headers.get('location'), '/')
  assert.equal(stack.api.tasks[0]?.title, 'Buy milk')
  assert.equal(stack.api.tasks[0]?.project_name, 'Inbox')
  assert.match(await (await stack.browser.get('/')).text(), /Task created\./)
  assert.doesNotMatch(await (await stack.browser.get('/')).text(), /Task created\./)
})

test('a project is made when it is new and found when it is not, whatever its case', async () => {
  await stack.browser.signIn()
  await stack.browser.submit('/tasks', { title: 'one', project: 'Garden', assignee: '' })
  await stack.browser.submit('/tasks', { title: 'two', project: ' garden ', assignee: '' })
  assert.deepEqual(stack.api.projects.map((one) => one.name), ['Garden'])
  assert.deepEqual(stack.api.tasks.map((one) => one.project_name), ['Garden', 'Garden'])
})

test('a task can be given to a worker, and taken back', async () => {
  await stack.browser.signIn()
  await stack.browser.submit('/tasks', { title: 'one', project: '', assignee: '' })
  const me = stack.api.workers[0]!
  const response = await stack.browser.submit('/tasks/1/assign', { assignee: String(me.id), show: 'all' })
  assert.equal(response.headers.get('location'), '/?show=all')
  assert.equal(stack.api.tasks[0]?.assignee_name, 'Ada Lovelace')
  assert.match(await (await stack.browser.get('/')).text(), /Assigned to Ada Lovelace/)
  await stack.browser.submit('/tasks/1/assign', { assignee: '' })
  assert.equal(stack.api.tasks[0]?.assignee_name, null)
})

test('a task is completed, moves to Done, and can be re-opened', async () => {
  await stack.browser.signIn()
  await stack.browser.submit('/tasks', { title: 'Buy milk', project: '', assignee: '' })
  await stack.browser.submit('/tasks/1/complete', { show: 'open' })
  assert.equal(stack.api.tasks[0]?.status, 'done')
  assert.doesNotMatch(await (await stack.browser.get('/')).text(), /<h3>Buy milk/)
  const done = await (await stack.browser.get('/?show=done')).text()
  assert.match(done, /<h3>Buy milk/)
  assert.match(done, /Re-open/)
  await stack.browser.submit('/tasks/1/reopen', { show: 'done' })
  assert.equal(stack.api.tasks[0]?.status, 'open')
})

test('an empty title is refused with what else was typed kept', async () => {
  await stack.browser.signIn()
  const response = await stack.browser.submit('/tasks', { title: '   ', project: 'Home "sweet"', assignee: '1' })
  const text = await response.text()
  assert.equal(response.status, 422)
  assert.match(text, /<title>Error: Tasks/)
  assert.match(text, /id="title-error">Say what is to be done\./)
  assert.match(text, /aria-describedby="title-error" aria-invalid="true"/)
  assert.match(text, /value="Home &quot;sweet&quot;"/)
  assert.match(text, /<option value="1" selected>Ada Lovelace/)
  assert.equal(stack.api.projects.length, 0)
})

test('what the API refuses is shown at its field', async () => {
  await stack.browser.signIn()
  const response = await stack.browser.submit('/tasks', { title: 'refused', project: '', assignee: '' })
  assert.equal(response.status, 422)
  const text = await response.text()
  assert.match(text, /id="title-error">the API does not like it/)
  assert.match(text, /name="title" value="refused"/)
})

test('an unknown assignee is refused with the API’s words', async () => {
  await stack.browser.signIn()
  const response = await stack.browser.submit('/tasks', { title: 'x', project: '', assignee: '77' })
  assert.equal(response.status, 422)
  assert.match(await response.text(), /The task was not created: no worker 77/)
})

test('a task that is gone is said to be gone', async () => {
  await stack.browser.signIn()
  await stack.browser.submit('/tasks/99/complete', {})
  const response = await stack.browser.get('/')
  assert.equal(response.status, 200)
  assert.match(await response.text(), /That task does not exist any more/)
})

test('what people type is shown as text, never as markup', async () => {
  const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`
  await stack.browser.signIn()
  await stack.browser.submit('/tasks', { title: evil, project: evil, assignee: '' })
  stack.api.workers.push({ id: 9, name: evil, email: evil })
  const query = new URLSearchParams({ title: evil, project: evil, show: evil })
  for (const path of ['/', `/?${query}`, '/?show=all', '/workers', '/audit']) {
    const text = await (await stack.browser.get(path)).text()
    assert.match(text, /&lt;script&gt;alert\(1\)/, path)
    assert.doesNotMatch(text, /<script|<img src=x/, path)
  }
})

test('workers and the audit trail are shown', async () => {
  await stack.browser.signIn()
  await stack.browser.submit('/tasks', { title: 'Buy milk', project: '', assignee: '1' })
  const workers = await (await stack.browser.get('/workers')).text()
  assert.match(workers, />Ada Lovelace<\/th><td[^>]*>ada@example\.com<\/td><td class="number">1<\/td>/)
  const audit = await (await stack.browser.get('/audit')).text()
  assert.match(audit, /title: Buy milk/)
})
