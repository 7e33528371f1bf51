// Reads a JSON array of file contents from stdin and prints the JSON array of what a
// reader makes of each: an object, or null where it refuses the file.
//   node read.mjs DIR READER
// DIR is where ./install put the packages. READER is one of them, `dotenv:fast`, or
// `node` for the parser that Node itself has.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import util from 'node:util'

const [directory, reader] = process.argv.slice(2)
const [name, mode] = reader.split(':')

function parser() {
  if (name === 'node') return util.parseEnv
  const { parse } = createRequire(join(resolve(directory), 'package.json'))(name)
  return (content) => parse(content, { fast: mode === 'fast' })
}

const parse = parser()
const contents = JSON.parse(readFileSync(0, 'utf8'))
const read = (content) => {
  try {
    return parse(content)
  } catch {
    return null
  }
}
process.stdout.write(JSON.stringify(contents.map(read)))
