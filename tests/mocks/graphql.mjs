// Plays a GraphQL service from its schema: every field has a value of its type, and whatever the schema does not know
// is refused and said on standard output.
//   node graphql.mjs DIR SCHEMA
// DIR is where ./install put the packages.
import { createRequire } from 'node:module'
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const [directory, file] = process.argv.slice(2)
const load = createRequire(join(resolve(directory), 'package.json'))
const { graphql } = load('graphql')
const { makeExecutableSchema } = load('@graphql-tools/schema')
const { addMocksToSchema } = load('@graphql-tools/mock')

const schema = makeExecutableSchema({ typeDefs: readFileSync(file, 'utf8') })
// Lists end, nothing is deleted, and what is written is done.
const mocks = {
  Boolean: () => true,
  DateTime: () => '2026-01-01T00:00:00.000Z',
  Environment: () => ({ name: 'production', isEphemeral: false, canAccess: true, deletedAt: null }),
  EnvironmentConfig: () => ({}),
  EnvironmentVariables: () => ({ MOCKED: 'value' }),
  PageInfo: () => ({ hasNextPage: false, endCursor: null }),
  Project: () => ({ deletedAt: null }),
}
const mocked = addMocksToSchema({ schema, mocks })

const server = createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const { query, variables } = JSON.parse(Buffer.concat(parts).toString())
  const answer = await graphql({ schema: mocked, source: query, variableValues: variables })
  for (const { message } of answer.errors ?? []) console.log(`violation: ${message}`)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(answer))
})
server.listen(0, '127.0.0.1', () => console.log(`is listening on http://127.0.0.1:${server.address().port}`))
