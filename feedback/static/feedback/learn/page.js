// Every page of the course: a choice that shows itself, and the quiz.

import { post } from "./parts.js";

document.querySelectorAll("[data-submits]").forEach((select) => {
  select.addEventListener("change", () => select.form.requestSubmit());
});

const quiz = document.querySelector("[data-quiz]");
if (quiz) {
  const questions = [...quiz.querySelectorAll("fieldset")];
  const answers = new Array(questions.length).fill(null);
  quiz.addEventListener("submit", (event) => event.preventDefault());
  questions.forEach((question, place) => {
    question.addEventListener("change", (event) => {
      const right = Number(question.dataset.right);
      const chosen = Number(event.target.value);
      const reason = question.querySelector(".learn-reason");
      question.querySelector("[data-verdict]").textContent = chosen === right ? "Right." : "Not quite.";
      question.querySelectorAll(".learn-choice").forEach((choice, number) => {
        choice.classList.toggle("is-right", number === right);
        choice.classList.toggle("is-wrong", number === chosen && chosen !== right);
      });
      reason.hidden = false;
      if (answers[place] !== null) return; // the first answer counts
      answers[place] = chosen;
      if (!answers.includes(null)) finish(answers);
    });
  });
}

async function finish(answers) {
  const { status, body } = await post(quiz.dataset.quiz, { answers });
  const said = status === 200 ? `${body.right} of ${body.questions} right. The result is saved.` : body.sentence;
  document.querySelector("[data-quiz-result]").textContent = said;
}
