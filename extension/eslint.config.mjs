import js from '@eslint/js';
import jupyterPlugin from '@jupyter/eslint-plugin';
import prettier from 'eslint-config-prettier';
import react from 'eslint-plugin-react';
import reactHooks from 'eslint-plugin-react-hooks';
import { defineConfig } from 'eslint/config';
import globals from 'globals';
import tseslint from 'typescript-eslint';

const MARKUP = 'What comes out of containers is shown as text, never as markup.';

export default defineConfig([
  {
    ignores: ['node_modules', 'lib', 'labextension', 'coverage', '**/*.js', '**/*.mjs', '**/*.d.ts']
  },
  js.configs.recommended,
  tseslint.configs.recommended,
  { plugins: { jupyter: jupyterPlugin } },
  jupyterPlugin.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    plugins: { react, 'react-hooks': reactHooks },
    languageOptions: {
      globals: { ...globals.browser },
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname }
    },
    settings: { react: { version: 'detect' } },
    rules: {
      '@typescript-eslint/naming-convention': [
        'error',
        { selector: 'interface', format: ['PascalCase'], custom: { regex: '^I[A-Z]', match: true } }
      ],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-namespace': 'off', // Lab's way to write command ids
      curly: ['error', 'all'],
      eqeqeq: 'error',
      'jupyter/prefer-lazy-imports': 'off', // cells have their lines from the start: all of it is needed at once
      'prefer-arrow-callback': ['error', { allowNamedFunctions: true }],
      'react/jsx-key': 'error',
      'react/no-danger': 'error',
      'react/no-danger-with-children': 'error',
      'react-hooks/rules-of-hooks': 'error',
      'react-hooks/exhaustive-deps': 'error',
      'no-restricted-properties': [
        'error',
        { property: 'innerHTML', message: MARKUP },
        { property: 'outerHTML', message: MARKUP },
        { property: 'insertAdjacentHTML', message: MARKUP },
        { object: 'document', property: 'write', message: MARKUP }
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: MARKUP },
        { selector: "Property[key.name='dangerouslySetInnerHTML']", message: MARKUP },
        {
          selector: "CallExpression[callee.property.name='createContextualFragment']",
          message: MARKUP
        },
        { selector: "NewExpression[callee.name='DOMParser']", message: MARKUP }
      ]
    }
  },
  {
    files: ['**/__tests__/**'],
    rules: { 'jupyter/require-disposable-ownership': 'off' } // a test ends, and with it what it made
  },
  prettier
]);
