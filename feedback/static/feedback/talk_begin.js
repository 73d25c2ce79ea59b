// The first message of a talk is kept while it is written.

import { Composer } from "./composer.js";
import { recovered } from "./memory.js";

recovered.then(() => document.querySelectorAll("[data-composer]").forEach((form) => new Composer(form).text.focus()));
