/** Python with a package: the system's where it has it, else an environment of its own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const runFile = promisify(execFile)

/** The path of a Python that has the package, of any version. `folder` is made where it is needed. */
export async function pythonWith(requirement: string, folder: string): Promise<string> {
  const [name = ''] = requirement.split('==')
  const hasIt = await runFile('python3', ['-c', `import ${name}`]).then(
    () => true,
    () => false,
  )
  if (hasIt) return 'python3'
  await runFile('python3', ['-m', 'venv', folder])
  const python = join(folder, 'bin', 'python')
  await runFile(python, ['-m', 'pip', 'install', '--quiet', requirement])
  return python
}
