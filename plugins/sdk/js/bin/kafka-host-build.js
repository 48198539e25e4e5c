#!/usr/bin/env node
// Exists before the package is compiled, so that npm can link it.
import '../dist/build/cli.js';
