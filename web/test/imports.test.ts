/** No module imports itself in a roundabout way. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const SRC = new URL('../src/', import.meta.url)

const importsOf = (file: URL): URL[] =>
  [...readFileSync(file, 'utf8').matchAll(/ from '(\.[^']+)'/g)].map(([, path]) => new URL(path!, file))

test('the imports go one way', () => {
  const done = new Set<string>()
  const follow = (file: URL, way: readonly string[]): void => {
    const name = file.href.slice(SRC.href.length)
    assert.ok(!way.includes(name), `expected no circle of imports, seen ${[...way, name].join(' → ')}`)
    if (done.has(name)) return
    for (const imported of importsOf(file)) follow(imported, [...way, name])
    done.add(name)
  }
  for (const path of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) if (path.endsWith('.ts')) follow(new URL(path, SRC), [])
  assert.ok(done.has('dashboard.ts') && done.has('pages/layout.ts'))
})
