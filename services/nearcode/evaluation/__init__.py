"""Quality on a customer's own code: questions that the code itself answers, and how well retrieval finds the answers."""
