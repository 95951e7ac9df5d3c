package ui

// PreviewName is the name of a rule that is only simulated.
const PreviewName = previewName
