// What prettier does not see: names that do not exist, names nobody uses, comparisons that convert.

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: [".venv/", "data/", "site/", "staticfiles/"] },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-implicit-globals": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": ["error", { destructuring: "all" }],
    },
  },
  { files: ["feedback/static/**/*.js"], languageOptions: { globals: { ...globals.browser, htmx: "readonly" } } },
  { files: ["feedback/static/**/theme.js"], languageOptions: { sourceType: "script" } },
  {
    files: ["tests/collection/javascript/**/*.js"],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
];
