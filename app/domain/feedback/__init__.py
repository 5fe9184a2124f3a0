"""What customers say: answers, surveys, complaints, follow-ups, and honest figures about them."""
