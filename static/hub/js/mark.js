// Runs before the page is drawn: styles tell by this class whether scripts are there.
document.documentElement.classList.add("js");
