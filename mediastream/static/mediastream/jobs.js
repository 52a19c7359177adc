// Jobs in the admin go on while they are looked at: as long as one is not over, the page is fetched again every two
// seconds, and what has changed is put in its place. What somebody has ticked or typed stays.

const CHANGING = ".field-progress, .field-reason, .field-took, .field-attempts, .field-log, .field-jobs .readonly, "
  + ".model-job.change-form .submit-row";
const EVERY = 2000; // milliseconds

const unfinished = () => [...document.querySelectorAll(".field-progress, .field-jobs .readonly")]
  .some((cell) => /\b(running|queued)\b/.test(cell.textContent));

// Rows move when others are added: then only a reload tells, which is left to whoever looks.
const rows = (page) => [...page.querySelectorAll("#result_list tbody th a")].map((link) => link.href).join();

async function look() {
  if (!document.hidden && unfinished()) {
    const answer = await fetch(location.href).catch(() => null);
    if (answer?.ok && !answer.redirected) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (rows(fresh) === rows(document)) {
        const news = fresh.querySelectorAll(CHANGING);
        document.querySelectorAll(CHANGING).forEach((cell, index) => {
          if (news[index] && cell.innerHTML !== news[index].innerHTML) cell.innerHTML = news[index].innerHTML;
        });
      }
    }
  }
  setTimeout(look, EVERY);
}

document.addEventListener("DOMContentLoaded", () => setTimeout(look, EVERY));
