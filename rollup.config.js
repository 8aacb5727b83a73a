/**
 * Joins what a server and the commands for it load into a few files: dist/bin/. Most of the processor time of a start goes
 * into opening and compiling modules, 515 files of them and some again in each thread. dist/main.js starts the modules as they
 * were compiled, and does the same.
 */
import { statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import commonjs from '@rollup/plugin-commonjs';
import nodeResolve from '@rollup/plugin-node-resolve';

const root = fileURLToPath(new URL('.', import.meta.url));

/** Native modules find their binaries by where they are, and pino its threads. */
const PACKAGES = /^(node:|koffi|zstd-napi|pino)/;
/** Not for a server: src/joined.ts starts these as they were compiled. */
const APART = /\/dist\/(explore|agent|soak)\/|\/dist\/cli\/(explore|soak)\.js$/;

/** Which modules are in it, with the times of their last change: whoever compiles again without joining them can be told. */
const listModules = {
  name: 'list-modules',
  generateBundle() {
    const ours = [...this.getModuleIds()].filter(
      (id) => id.startsWith(root) && !id.includes('node_modules') && !/\0/.test(id),
    );
    const times = ours.filter((id) => !APART.test(id)).map((id) => [relative(root, id), statSync(id).mtimeMs]);
    this.emitFile({
      type: 'asset',
      fileName: 'modules.json',
      source: JSON.stringify(Object.fromEntries(times.sort())),
    });
  },
};

export default {
  input: { main: 'dist/joined.js', worker: 'dist/server/worker.js', loop_asker: 'dist/image/loop_asker.js' },
  external: (id) => PACKAGES.test(id) || APART.test(id),
  plugins: [nodeResolve(), commonjs(), listModules],
  output: {
    dir: 'dist/bin',
    format: 'es',
    chunkFileNames: '[name].js',
    paths: (id) => (APART.test(id) ? relative(join(root, 'dist/bin'), id) : id),
    // What others take of it must not run the program.
    manualChunks: { program: ['dist/main.js'], requirements: ['dist/config/requirements.js'] },
  },
  onwarn(warning, warn) {
    // Of the packages: comments that it can't use, and a cycle.
    if (!/node_modules/.test(`${warning.message} ${warning.ids ?? ''}`)) warn(warning);
  },
};
