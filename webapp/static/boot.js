// Runs before anything is drawn: styles for pages with script hang on this class.
document.documentElement.classList.add("js");
